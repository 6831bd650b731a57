"""`python -m cli`: the command line without its console script."""

from cli.entrance import main

if __name__ == "__main__":
    main()
