from tests.browser.pictures import main

if __name__ == "__main__":
    main()
