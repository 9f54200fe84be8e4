// The two sets as published: names of files, entries and classes.
#include "data/cifar.h"

namespace mode_ensemble {
namespace {

constexpr const char* kClasses10[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                      "dog",      "frog",       "horse", "ship", "truck"};
constexpr const char* kCoarse100[] = {"aquatic_mammals",
                                      "fish",
                                      "flowers",
                                      "food_containers",
                                      "fruit_and_vegetables",
                                      "household_electrical_devices",
                                      "household_furniture",
                                      "insects",
                                      "large_carnivores",
                                      "large_man-made_outdoor_things",
                                      "large_natural_outdoor_scenes",
                                      "large_omnivores_and_herbivores",
                                      "medium_mammals",
                                      "non-insect_invertebrates",
                                      "people",
                                      "reptiles",
                                      "small_mammals",
                                      "trees",
                                      "vehicles_1",
                                      "vehicles_2"};
constexpr const char* kFine100[] = {
    "apple",      "aquarium_fish", "baby",         "bear",       "beaver",      "bed",         "bee",
    "beetle",     "bicycle",       "bottle",       "bowl",       "boy",         "bridge",      "bus",
    "butterfly",  "camel",         "can",          "castle",     "caterpillar", "cattle",      "chair",
    "chimpanzee", "clock",         "cloud",        "cockroach",  "couch",       "crab",        "crocodile",
    "cup",        "dinosaur",      "dolphin",      "elephant",   "flatfish",    "forest",      "fox",
    "girl",       "hamster",       "house",        "kangaroo",   "keyboard",    "lamp",        "lawn_mower",
    "leopard",    "lion",          "lizard",       "lobster",    "man",         "maple_tree",  "motorcycle",
    "mountain",   "mouse",         "mushroom",     "oak_tree",   "orange",      "orchid",      "otter",
    "palm_tree",  "pear",          "pickup_truck", "pine_tree",  "plain",       "plate",       "poppy",
    "porcupine",  "possum",        "rabbit",       "raccoon",    "ray",         "road",        "rocket",
    "rose",       "sea",           "seal",         "shark",      "shrew",       "skunk",       "skyscraper",
    "snail",      "snake",         "spider",       "squirrel",   "streetcar",   "sunflower",   "sweet_pepper",
    "table",      "tank",          "telephone",    "television", "tiger",       "tractor",     "train",
    "trout",      "tulip",         "turtle",       "wardrobe",   "whale",       "willow_tree", "wolf",
    "woman",      "worm"};
static_assert(std::size(kFine100) == 100 && std::size(kCoarse100) == 20);

constexpr CifarLabels kLabels10[] = {{"", "", "batches.meta.txt", "labels", "label_names", kClasses10}};
constexpr CifarLabels kLabels100[] = {
    {"coarse", "coarse ", "coarse_label_names.txt", "coarse_labels", "coarse_label_names", kCoarse100},
    {"fine", "fine ", "fine_label_names.txt", "fine_labels", "fine_label_names", kFine100}};

}  // namespace

const CifarSet kCifar10 = {"CIFAR-10",
                           "cifar10 1",
                           "cifar-10-batches-bin",
                           "cifar-10-batches-py",
                           "data_batch",
                           "test_batch",
                           5,
                           "batches.meta",
                           kLabels10,
                           0};
const CifarSet kCifar100 = {"CIFAR-100",
                            "cifar100 1",
                            "cifar-100-binary",
                            "cifar-100-python",
                            "train",
                            "test",
                            1,
                            "meta",
                            kLabels100,
                            1};

}  // namespace mode_ensemble
