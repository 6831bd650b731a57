"""`python -m judge`: one judge."""

from judge.app import main

main()
