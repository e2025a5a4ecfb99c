from tests.fuzz.webhooks import main

if __name__ == "__main__":
    main()
