from tests.bench.load import main

if __name__ == "__main__":
    main()
