from tests.bench.growth import main

if __name__ == "__main__":
    main()
