"""`python -m streams`: one worker."""

from streams.app import main

main()
