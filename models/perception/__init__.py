"""Networks that look at pictures: frozen features, segmentation, outlines, heads, judges."""
