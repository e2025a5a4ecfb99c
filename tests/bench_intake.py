from tests.bench.intake import main

if __name__ == "__main__":
    main()
