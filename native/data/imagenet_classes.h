#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace mode_ensemble {

// "n01440764" … "n15075141", sorted.
std::vector<std::string> imagenet_classes();

}  // namespace mode_ensemble
