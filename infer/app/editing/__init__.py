"""The page on which photos are edited: it says what to do to `infer.editor`, so a recipe can do it again."""
