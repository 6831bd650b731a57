"""`python -m streams`: one worker."""

from streams.app import main

if __name__ == "__main__":
    main()
