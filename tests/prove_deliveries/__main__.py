from tests.prove_deliveries.proofs import main

if __name__ == "__main__":
    main()
