import sys

from tests.prove_reconcile.proof import main

if __name__ == "__main__":
    sys.exit(main())
