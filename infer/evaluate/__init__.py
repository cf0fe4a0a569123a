"""How good is a generator? Measures, tables and figures as commands."""
