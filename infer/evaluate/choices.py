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
