from tests.bench.dispatch import main

if __name__ == "__main__":
    main()
