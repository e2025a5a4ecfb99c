from tests.support.storm import main

if __name__ == "__main__":
    main()
