"""`python -m animalclef`: the same door as the `animalclef` command."""

from animalclef.cli import main

if __name__ == "__main__":
    main()
