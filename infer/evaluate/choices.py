"""What callers choose from when translations are measured: light, for whoever only names it."""

from infer.projection.presets import PRESETS

SETTLING = PRESETS["balanced"].settling  # updates of each translation
REAL = 4000  # pictures: a probe fitted to fewer errs more, on translations and on real ones
STUDIES = {  # name -> what it is a study of
    "strength": "how much of a class (first paper, Fig. 9)",
    "class-layers": "a class in which layers (Fig. 12)",
    "blend-layers": "features in which layers (Fig. 13)",
    "interpolation": "latents between two pictures, or features in a region (Fig. 11)",
    "classes": "one photo in all classes (Fig. 21)",
    "class-collage": "collages of pixels beside those of classes (Fig. 18)",
    "feature-collage": "collages of pixels beside those of features (Fig. 19)",
    "transfer": "a part by query, by blended features, by pixels (second paper, Fig. 5)",
    "morph": "a photo on its way into a class: GIF and MP4",
}
RESULTS = {  # section of the report -> what it has
    "samples": "samples of both models: Fréchet, KID, precision, recall, density, coverage, classes",
    "edits": "samples before and after edits of parts (second paper, Table 1)",
    "locality": "what changes outside of a part (second paper, Fig. 7)",
    "translation": "photos in other classes (first paper, Table 2)",
    "convergence": "projection in z and zeta, from E and at random (first paper, Figs. 16, 17)",
    "presets": "how near fast, balanced and best come to a photo",
}
