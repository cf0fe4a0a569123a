"""The papers' figures as studies of a model: pictures to look at, and a table of what was measured on more of them."""
