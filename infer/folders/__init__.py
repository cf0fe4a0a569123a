"""Many photos in one run: found, edited side by side, written in order, and gone on with after a break."""
