"""One report over everything: the papers' tables and figures on the models of today, and which of their claims hold."""
