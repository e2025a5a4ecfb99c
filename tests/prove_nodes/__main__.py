from tests.prove_nodes.proofs import main

if __name__ == "__main__":
    main()
