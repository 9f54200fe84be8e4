// Outlines within the unit circle, y downwards.
#pragma once
#include "data/builtin_draw.h"

namespace mode_ensemble {

// Draws the proportions at random, so that no two of a class are alike.
Outline shape_outline(int label, SceneRandom& random);

// A shape that is none of the ten.
Outline unseen_outline(SceneRandom& random);

}  // namespace mode_ensemble
