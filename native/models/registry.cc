#include "models/registry.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <functional>
#include <regex>

#include "models/network.h"
#include "runtime/error.h"

namespace mode_ensemble {

// The families, each in the file of its name. A file's maker builds one network of the family.
std::unique_ptr<Network> make_cifar_resnet(const ArchOptions& arch, int depth, const Init& init);
std::unique_ptr<Network> make_imagenet_resnet(const ArchOptions& arch, int depth, const Init& init);
std::unique_ptr<Network> make_small_cifar_resnet(const ArchOptions& arch, int depth, bool projects,
                                                 const Init& init);
std::unique_ptr<Network> make_wide_resnet(const ArchOptions& arch, int depth, int factor, const Init& init);
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

// Statistics of ImageNet's training set as torchvision gives them.
constexpr std::array<double, 3> imagenet_mean{0.485, 0.456, 0.406}, imagenet_std{0.229, 0.224, 0.225};

TransformOptions imagenet() { return {256, "short", "bilinear", 224, imagenet_mean, imagenet_std}; }

// Channels of a four-layer ResNet's stages at width 64.
std::vector<int64_t> resnet_stages(int depth) {
  const int64_t expansion = depth >= 50 ? 4 : 1;  // of bottlenecks
  return {64, 64 * expansion, 128 * expansion, 256 * expansion, 512 * expansion};
}

Row cifar_resnet(int depth, std::vector<std::string> aliases = {}) {
  return {{.name = "cifar-resnet" + std::to_string(depth),
           .aliases = std::move(aliases),
           .family = "CIFAR ResNet",
           .width = 64,
           .classes = 10,
           .stages = resnet_stages(depth),
           .transform = cifar()},
          [=](const ArchOptions& arch, const Init& init) { return make_cifar_resnet(arch, depth, init); }};
}

Row imagenet_resnet(int depth, std::vector<std::string> aliases = {}) {
  return {{.name = "resnet" + std::to_string(depth),
           .aliases = std::move(aliases),
           .family = "ResNet",
           .width = 64,
           .classes = 1000,
           .stages = resnet_stages(depth),
           .transform = imagenet()},
          [=](const ArchOptions& arch, const Init& init) { return make_imagenet_resnet(arch, depth, init); }};
}

// Each of the two published forms normalises as its own training code did.
Row small_cifar_resnet(int depth, bool projects) {
  auto transform = cifar();
  transform.mean = projects ? std::array<double, 3>{125.3 / 255, 123.0 / 255, 113.9 / 255} : imagenet_mean;
  transform.std = projects ? std::array<double, 3>{63.0 / 255, 62.1 / 255, 66.7 / 255} : imagenet_std;
  return {{.name = "cifar-resnet" + std::to_string(depth) + (projects ? "-b" : ""),
           .aliases = {},
           .family = projects ? "small CIFAR ResNet, option B" : "small CIFAR ResNet",
           .width = 16,
           .widthStep = projects ? 1 : 2,  // a padded shortcut adds width / 2 channels on each side
           .classes = 10,
           .stages = {16, 16, 32, 64},
           .transform = transform},
          [=](const ArchOptions& arch, const Init& init) {
            return make_small_cifar_resnet(arch, depth, projects, init);
          }};
}

Row wide_resnet(int depth, int factor) {
  const auto name = "wrn-" + std::to_string(depth) + "-" + std::to_string(factor);
  const auto expect = [&](bool right, const std::string& what) {
    if (!right) throw Error(ErrorCode::config, name + ": expected " + what + ".");
  };
  expect(depth % 6 == 4, "a depth of 6n + 4");
  expect(depth >= 10 && depth <= 1000, "a depth from 10 to 1000");
  expect(factor >= 1 && factor <= 64, "a widening factor from 1 to 64");
  return {
      {.name = name,
       .aliases = {"WRN" + std::to_string(depth) + "X" + std::to_string(factor),
                   "wrn" + std::to_string(depth) + "-" + std::to_string(factor)},
       .family = "Wide ResNet",
       .width = 16,
       .dropout = 0.3,
       .hasDropout = true,
       .classes = 10,
       .stages = {16, 16 * factor, 32 * factor, 64 * factor, 64 * factor},
       .transform = cifar()},
      [=](const ArchOptions& arch, const Init& init) { return make_wide_resnet(arch, depth, factor, init); }};
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

Row densenet(int depth, int64_t width, std::array<int, 4> layers) {
  return {{.name = "densenet" + std::to_string(depth),
           .aliases = {"DN" + std::to_string(depth)},
           .family = "DenseNet",
           .width = width,
           .widthStep = 2,
           .classes = 1000,
           .stages = densenet_stages(width, {layers.begin(), layers.end()}),
           .transform = imagenet()},
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
  auto transform = imagenet();
  transform.resize = 248;
  transform.filter = "bicubic";
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
       .transform = transform},
      [=](const ArchOptions& arch, const Init& init) { return make_t2t_vit(arch, depth, mlp_ratio, init); }};
}

const std::vector<Row>& table() {
  static const std::vector<Row> rows{
      cifar_resnet(18, {"R18"}),
      cifar_resnet(34),
      cifar_resnet(50),
      cifar_resnet(101),
      cifar_resnet(152),
      small_cifar_resnet(20, false),
      small_cifar_resnet(32, false),
      small_cifar_resnet(44, false),
      small_cifar_resnet(56, false),
      small_cifar_resnet(110, false),
      small_cifar_resnet(20, true),
      small_cifar_resnet(32, true),
      small_cifar_resnet(44, true),
      small_cifar_resnet(56, true),
      small_cifar_resnet(110, true),
      wide_resnet(16, 4),
      wide_resnet(28, 2),
      wide_resnet(28, 10),
      wide_resnet(40, 2),
      imagenet_resnet(18),
      imagenet_resnet(34),
      imagenet_resnet(50, {"R50"}),
      imagenet_resnet(101, {"R101"}),
      imagenet_resnet(152, {"R152"}),
      densenet(121, 64, {6, 12, 24, 16}),
      densenet(161, 96, {6, 12, 36, 24}),
      densenet(169, 64, {6, 12, 32, 32}),
      densenet(201, 64, {6, 12, 48, 32}),
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

// A row by name or alias. Families of which any member can be asked for (wrn-D-K) come after the table; a
// member that cannot be is an Error(config).
std::optional<Row> find_row(const std::string& name) {
  const std::string wanted = lower(name);
  for (const auto& row : table()) {
    if (lower(row.info.name) == wanted) return row;
    for (const auto& alias : row.info.aliases)
      if (lower(alias) == wanted) return row;
  }
  static const std::regex wide("wrn-?([1-9][0-9]{0,5})[-x]([1-9][0-9]{0,5})");
  std::smatch found;
  if (std::regex_match(wanted, found, wide)) return wide_resnet(std::stoi(found[1]), std::stoi(found[2]));
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
