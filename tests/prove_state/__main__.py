from tests.prove_state.proofs import main

if __name__ == "__main__":
    main()
