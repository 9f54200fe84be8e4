// Writes JPEGs that Pillow does not write, for odd_jpegs.py: other sampling factors, colour spaces, scans, coders.
//
//   write_jpeg WIDTH HEIGHT INPUT STORED SAMPLING QUALITY [FLAG ...] < pixels > file
//
// INPUT and STORED are `gray`, `rgb`, `ycc`, `cmyk` or `ycck`; SAMPLING lists HxV a component, as `2x2,1x1,1x1`.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <jpeglib.h>

namespace {

J_COLOR_SPACE space_of(const std::string& name) {
  if (name == "gray") return JCS_GRAYSCALE;
  if (name == "rgb") return JCS_RGB;
  if (name == "ycc") return JCS_YCbCr;
  return name == "cmyk" ? JCS_CMYK : JCS_YCCK;
}

}  // namespace

int main(int count, char** words) {
  if (count < 7) return 2;
  jpeg_compress_struct info{};
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  errors.emit_message = [](j_common_ptr, int) {};  // coarse tables are asked for
  jpeg_create_compress(&info);
  jpeg_stdio_dest(&info, stdout);
  info.image_width = std::atoi(words[1]);
  info.image_height = std::atoi(words[2]);
  info.in_color_space = space_of(words[3]);
  info.input_components = info.in_color_space == JCS_GRAYSCALE ? 1 : info.in_color_space == JCS_RGB ? 3 : 4;
  jpeg_set_defaults(&info);
  jpeg_set_colorspace(&info, space_of(words[4]));
  const char* at = words[5];
  for (int c = 0; c < info.num_components; ++c, at += 4) {
    info.comp_info[c].h_samp_factor = at[0] - '0';
    info.comp_info[c].v_samp_factor = at[2] - '0';
  }

  // One scan a component, coefficients and all, in another order than the components'.
  std::vector<jpeg_scan_info> scans;
  for (int c = info.num_components - 1; c >= 0; --c) scans.push_back({1, {c}, 0, 63, 0, 0});
  bool wide = false;
  for (int i = 7; i < count; ++i) {
    const std::string flag = words[i];
    wide = wide || flag == "wide-tables";
    if (flag == "progressive") jpeg_simple_progression(&info);
    if (flag == "arithmetic") info.arith_code = TRUE;
    if (flag == "optimize") info.optimize_coding = TRUE;
    if (flag == "no-markers") info.write_JFIF_header = info.write_Adobe_marker = FALSE;
    if (flag == "all-markers") info.write_JFIF_header = info.write_Adobe_marker = TRUE;
    if (flag.rfind("restart=", 0) == 0) info.restart_interval = std::atoi(flag.c_str() + 8);
    if (flag == "ids-from-0")
      for (int c = 0; c < info.num_components; ++c) info.comp_info[c].component_id = c;
    if (flag == "separate") {
      info.scan_info = scans.data();
      info.num_scans = static_cast<int>(scans.size());
    }
  }
  jpeg_set_quality(&info, std::atoi(words[6]), wide ? FALSE : TRUE);

  jpeg_start_compress(&info, TRUE);
  std::vector<JSAMPLE> row(static_cast<size_t>(info.image_width) * info.input_components);
  for (JDIMENSION y = 0; y < info.image_height; ++y) {
    if (std::fread(row.data(), 1, row.size(), stdin) != row.size()) return 1;
    JSAMPROW pointer = row.data();
    jpeg_write_scanlines(&info, &pointer, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  return 0;
}
