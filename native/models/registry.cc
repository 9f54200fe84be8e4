#include "models/registry.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <functional>

#include "models/network.h"
#include "runtime/error.h"

namespace mode_ensemble {

// The families, each in the file of its name. A file's maker builds one network of the family.
std::unique_ptr<Network> make_cifar_resnet(const ArchOptions& arch, std::array<int, 4> blocks,
                                           const Init& init);
// The layers of each dense block.
std::unique_ptr<Network> make_densenet(const ArchOptions& arch, std::array<int, 4> layers, const Init& init);
std::unique_ptr<Network> make_cifar_densenet(const ArchOptions& arch, int layers, const Init& init);
std::unique_ptr<Network> make_t2t_vit(const ArchOptions& arch, int depth, int mlp_ratio, const Init& init);

namespace {

struct Row {
  ArchitectureInfo info;
  std::function<std::unique_ptr<Network>(const ArchOptions&, const Init&)> make;
};

// CIFAR-10 statistics as the reference uses them (method.md of the paper's code: mean and std of the training
// set).
TransformOptions cifar() {
  return {32, "both", "bilinear", 32, {0.4914, 0.4822, 0.4465}, {0.2470, 0.2435, 0.2616}};
}

Row cifar_resnet(const std::string& depth, std::array<int, 4> blocks) {
  return {{.name = "cifar-resnet" + depth,
           .aliases = {"R" + depth},
           .family = "CIFAR ResNet",
           .width = 64,
           .classes = 10,
           .stages = {64, 64, 128, 256, 512},
           .transform = cifar()},
          [=](const ArchOptions& arch, const Init& init) { return make_cifar_resnet(arch, blocks, init); }};
}

// The short side to `resize` with `filter`, cut to 224; statistics of ImageNet.
TransformOptions imagenet_transform(int64_t resize, const std::string& filter) {
  return {resize, "short", filter, 224, {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};
}

// A block adds growth = width/2 channels a layer; transitions halve them.
std::vector<int64_t> densenet_stages(int64_t width, const std::vector<int>& layers) {
  std::vector<int64_t> stages{width};
  for (size_t b = 0; b < layers.size(); ++b) {
    const int64_t channels = stages.back() + layers[b] * (width / 2);
    stages.push_back(b + 1 < layers.size() ? channels / 2 : channels);
  }
  return stages;
}

Row densenet(const std::string& depth, int64_t width, std::array<int, 4> layers) {
  return {{.name = "densenet" + depth,
           .aliases = {"DN" + depth},
           .family = "DenseNet",
           .width = width,
           .widthStep = 2,
           .classes = 1000,
           .stages = densenet_stages(width, {layers.begin(), layers.end()}),
           .transform = imagenet_transform(256, "bilinear")},
          [=](const ArchOptions& arch, const Init& init) { return make_densenet(arch, layers, init); }};
}

// Depth 100: three blocks of 16 layers of two convolutions. Statistics as in densenet-pytorch's train.py.
Row cifar_densenet() {
  return {{.name = "cifar-densenet-bc-100",
           .aliases = {"densenet-bc-100-12", "DenseNetBC100"},
           .family = "CIFAR DenseNet-BC",
           .width = 24,
           .widthStep = 2,
           .classes = 10,
           .stages = densenet_stages(24, {16, 16, 16}),
           .transform = {32,
                         "both",
                         "bilinear",
                         32,
                         {125.3 / 255, 123.0 / 255, 113.9 / 255},
                         {63.0 / 255, 62.1 / 255, 66.7 / 255}}},
          [](const ArchOptions& arch, const Init& init) { return make_cifar_densenet(arch, 16, init); }};
}

// A stage after every sixth block and after the last.
Row t2t_vit(int depth, int64_t width, int mlp_ratio, std::vector<std::string> aliases) {
  return {
      {.name = "t2t-vit-" + std::to_string(depth),
       .aliases = std::move(aliases),
       .family = "T2T-ViT",
       .width = width,
       .widthStep = 64,  // of a head
       .dropout = 0.1,
       .hasDropout = true,
       .classes = 1000,
       .stages = std::vector<int64_t>((depth + 5) / 6, width),
       .transform = imagenet_transform(248, "bicubic")},
      [=](const ArchOptions& arch, const Init& init) { return make_t2t_vit(arch, depth, mlp_ratio, init); }};
}

const std::vector<Row>& table() {
  static const std::vector<Row> rows{
      cifar_resnet("18", {2, 2, 2, 2}),
      densenet("121", 64, {6, 12, 24, 16}),
      densenet("161", 96, {6, 12, 36, 24}),
      densenet("169", 64, {6, 12, 32, 32}),
      densenet("201", 64, {6, 12, 48, 32}),
      cifar_densenet(),
      t2t_vit(7, 256, 2, {}),
      t2t_vit(10, 256, 2, {}),
      t2t_vit(12, 256, 2, {}),
      t2t_vit(14, 384, 3, {"t2tvit"}),
      t2t_vit(19, 448, 3, {}),
      t2t_vit(24, 512, 3, {}),
  };
  return rows;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

// A row by name or alias. Families of which any member can be asked for (wrn-D-K) come after the table.
std::optional<Row> find_row(const std::string& name) {
  const std::string wanted = lower(name);
  for (const auto& row : table()) {
    if (lower(row.info.name) == wanted) return row;
    for (const auto& alias : row.info.aliases)
      if (lower(alias) == wanted) return row;
  }
  return std::nullopt;
}

void check(bool right, const std::string& what, const std::string& expected, const std::string& found) {
  if (!right) throw Error(ErrorCode::config, what + ": expected " + expected + ", found " + found + ".");
}

}  // namespace

std::vector<ArchitectureInfo> architectures() {
  std::vector<ArchitectureInfo> infos;
  for (const auto& row : table()) infos.push_back(row.info);
  return infos;
}

std::optional<ArchitectureInfo> find_architecture(const std::string& name) {
  const auto row = find_row(name);
  return row ? std::optional(row->info) : std::nullopt;
}

std::unique_ptr<Network> make_network(const ArchOptions& arch, const Init& init) {
  const auto row = find_row(arch.name);
  if (!row) throw Error(ErrorCode::config, "arch: there is no architecture \"" + arch.name + "\".");
  check(arch.width >= 1 && arch.width <= 4096, "width", "1 to 4096", std::to_string(arch.width));
  const auto step = row->info.widthStep;
  check(arch.width % step == 0, "width", "a multiple of " + std::to_string(step), std::to_string(arch.width));
  check(arch.classes >= 1 && arch.classes <= 1000000, "classes", "1 to 1000000",
        std::to_string(arch.classes));
  check(arch.dropout >= 0 && arch.dropout < 1, "dropout", "0 to below 1", std::to_string(arch.dropout));
  check(arch.dropout == 0 || row->info.hasDropout, "dropout", "0, as " + row->info.name + " has none",
        std::to_string(arch.dropout));
  return row->make(arch, init);
}

}  // namespace mode_ensemble
