"""`python -m judge`: one judge."""

from judge.app import main

if __name__ == "__main__":
    main()
