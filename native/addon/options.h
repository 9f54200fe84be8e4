// Reads the options objects of lib/native/contract.ts into the C++ structs of the same field names. Nothing
// is defaulted here: a field that is missing or of another type is E_CONFIG with the field's name.
#pragma once
#include "addon/napi_env.h"
#include "checkpoint/convert.h"
#include "data/dataset.h"
#include "data/load_pass.h"
#include "data/verify.h"
#include "extract/extract.h"
#include "extract/gaussian_pass.h"
#include "landscape/curve.h"
#include "landscape/surface.h"
#include "linalg/fit_gaussians.h"
#include "linalg/gaussians.h"
#include "linalg/neighbours.h"
#include "models/probe.h"
#include "models/trace.h"
#include "train/train.h"

namespace mode_ensemble::addon {

// What a type-tagged external holds. Null once disposed of; jobs keep their own reference.
struct DataHolder {
  std::shared_ptr<const DataSet> data;
};

Napi::Value make_data_handle(Napi::Env env, std::shared_ptr<const DataSet> data);
// Null where the value is not one of our handles.
DataHolder* data_holder(const Napi::Value& value);
// Throws Error(config) where the handle is foreign or disposed of.
std::shared_ptr<const DataSet> open_data_of(const Napi::Value& value, const std::string& field);

// Null stands for a process alone. Throws Error(config).
std::shared_ptr<Ranks> ranks_of(const Napi::Value& value, const std::string& field);

TransformOptions read_transform_options(const Napi::Value& value);
ArchOptions read_arch_options(const Napi::Value& value);
OpenDataOptions read_open_data_options(const Napi::Value& value);
LoadPassOptions read_load_pass_options(const Napi::Value& value);
Region read_region(const Napi::Value& value, const std::string& field);
// What randomBoxes takes: the sizes and counts beside AugmentOptions' own fields.
struct RandomBoxesOptions {
  int64_t width = 0, height = 0, seed = 0, epoch = 0, count = 0;
  AugmentOptions augment;
};
struct HashPixelsOptions {
  std::shared_ptr<const DataSet> data;
  TransformOptions transform;
  int64_t workers = 1;
};
HashPixelsOptions read_hash_pixels_options(const Napi::Value& value);
RandomBoxesOptions read_random_boxes_options(const Napi::Value& value);
VerifyOptions read_verify_options(const Napi::Value& value);
TrainOptions read_train_options(const Napi::Value& value);
ExtractOptions read_extract_options(const Napi::Value& value);
NeighboursOptions read_neighbours_options(const Napi::Value& value);
InitWeightsOptions read_init_weights_options(const Napi::Value& value);
ConvertOptions read_convert_options(const Napi::Value& value);
InspectOptions read_inspect_options(const Napi::Value& value);
ProbeOptions read_probe_options(const Napi::Value& value);
TraceOptions read_trace_options(const Napi::Value& value);
FitGaussiansOptions read_fit_gaussians_options(const Napi::Value& value);
GaussianScoresOptions read_gaussian_scores_options(const Napi::Value& value);
PerturbedGaussiansOptions read_perturbed_gaussians_options(const Napi::Value& value);
SurfaceOptions read_surface_options(const Napi::Value& value);
WeightProductsOptions read_weight_products_options(const Napi::Value& value);
CurveOptions read_curve_options(const Napi::Value& value);

}  // namespace mode_ensemble::addon
