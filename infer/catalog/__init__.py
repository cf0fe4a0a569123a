"""The semantic catalog of a generator (Collins et al., "Editing in Style", section 3.1 and appendix A)."""
