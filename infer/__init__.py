"""From a photo to an edited photo: projection, edits, compositing, commands."""
