"""Photos: read and written, cropped, the animal found, edits put back."""
