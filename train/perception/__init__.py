"""Training what looks at pictures: the head locator, the outline."""
