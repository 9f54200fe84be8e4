// The readers of whole files, one a format. Each fills a Contents whose places lie within the file.
#pragma once
#include <memory>
#include <string>

#include "checkpoint/contents.h"
#include "runtime/byte_source.h"

namespace mode_ensemble {

void read_torch_zip(const std::shared_ptr<const ByteSource>& source, const std::string& want,
                    Contents& contents);
void read_torch_legacy(const ByteSource& source, const std::string& want, Contents& contents);
void read_safetensors(const ByteSource& source, const std::string& want, Contents& contents);

}  // namespace mode_ensemble
