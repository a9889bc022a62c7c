"""`python -m almenara.node.cli`, where no console script is on the PATH."""

from almenara.node.cli import main

main()
