from tests.prove_durability.proofs import main

if __name__ == "__main__":
    main()
