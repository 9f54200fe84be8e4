// The built-in data: small drawings made by integer arithmetic and + - * / sqrt alone, so that every machine
// makes the same bytes. (Compile with -ffp-contract=off: a fused multiply-add rounds once where two
// operations round twice.)
//
//   builtin_draw.h    random numbers, outlines, and filling them
//   builtin_shapes    the outlines of the ten classes and of the unseen shapes
//   builtin_scenes    background, object, noise: one image of a set
//   builtin.cc        the table of sets and the reader
#pragma once
#include <cstdint>

namespace mode_ensemble {

inline constexpr int kBuiltinSide = 32;
inline constexpr int kBuiltinBytes = 3 * kBuiltinSide * kBuiltinSide;
inline constexpr int kShapeClasses = 10;

// Everything that makes the sets easier or harder. Lengths are in pixels, colours in 0 to 255, the rest are
// probabilities or fractions; a pair is the range of a uniform choice.
struct BuiltinTuning {
  // The object.
  double radius[2] = {8.0, 13.0};      // of the circle around its outline
  double offset = 4.0;                 // its centre's distance from the image's, in x and y, at most
  double turn = 0.8;                   // tangent of its turn from upright, at most
  double squeeze[2] = {0.72, 1.0};     // its narrow side to its wide side
  double wobble = 0.05;                // of each corner, as a fraction of the radius
  double contrast[2] = {45.0, 130.0};  // how much lighter it is than what lies behind it
  double hue = 50.0;                   // change of each channel beside that, at most
  double opacity[2] = {0.85, 1.0};
  double shading = 30.0;         // colour change across it, at most
  double pattern_chance = 0.15;  // of stripes on it
  double occluder_chance = 0.2;  // of a bar drawn over it
  double occluder_width[2] = {1.0, 2.6};
  // What lies behind it.
  double background[2] = {10.0, 140.0};  // each channel of its colour
  double gradient = 50.0;                // colour change across the image, at most
  double clouds[2] = {2.0, 20.0};        // amplitude of smooth noise
  int distractors[2] = {0, 4};           // scraps: triangles, boxes and bars
  double lighter_chance = 0.5;           // of a scrap or bar that is lighter, as objects are, not darker
  double distractor_radius[2] = {1.2, 3.4};
  // The camera.
  double noise[2] = {1.0, 7.0};  // half the range of each channel's noise
  double blur_chance = 0.35;
  // The OoD sets.
  double blend_overlay = 0.5;  // of two shapes overlaid, rather than their outlines joined
  int strokes[2] = {1, 3};     // curves an image
  double stroke_width[2] = {1.0, 2.4};
};
inline constexpr BuiltinTuning kTuning;

enum class Scene { shapes, blends, unseen, textures, strokes };

// Writes image `index` of the stream, [32, 32, 3]; it depends on nothing else. `label` is the class of
// `shapes`.
void draw_scene(Scene scene, uint64_t stream, int64_t index, int label, uint8_t* pixels);

// Classes of `shapes`, in the order of their labels.
extern const char* const kShapeNames[kShapeClasses];

}  // namespace mode_ensemble
