// T2T-ViT with performer tokens, keys and initial weights as in the authors' code (T2T_ViT, Token_performer).
// Yuan et al., ICCV 2021, arXiv 2101.11986.
#include <algorithm>
#include <cmath>

#include "models/layers.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

constexpr int64_t kSide = 224;       // of the images: the position table is made for it
constexpr int64_t kTokenWidth = 64;  // of the performers' tokens
constexpr int64_t kFeatures = 32;    // random features of a performer, half of the token width
constexpr int64_t kHeadWidth = 64;

// Neighbouring patches as tokens (nn.Unfold): [N, C, H, W] → [N, T, C·kernel²].
at::Tensor soft_split(const at::Tensor& map, int64_t kernel, int64_t stride, int64_t padding) {
  return at::im2col(map, {kernel, kernel}, {1, 1}, {padding, padding}, {stride, stride}).transpose(1, 2);
}

// Tokens of a square, laid out as a map: [N, side², C] → [N, C, side, side].
at::Tensor fold_back(const at::Tensor& tokens) {
  const auto side = std::llround(std::sqrt(static_cast<double>(tokens.size(1))));
  return tokens.transpose(1, 2).reshape({tokens.size(0), tokens.size(2), side, side});
}

// Attention over many tokens in linear time, by positive random features. Choromanski et al., ICLR 2021.
struct Performer {
  at::Tensor w;  // [m, E], orthogonal rows of length √m; not trained
  Linear kqv, proj, mlp0, mlp2;
  LayerNorm norm1, norm2;

  Performer(Builder& build, const std::string& name, int64_t in)
      : w(build.tensor(name + ".w", {kFeatures, kTokenWidth}, /*trained=*/false)) {
    kqv = build.linear(name + ".kqv", in, 3 * kTokenWidth);
    proj = build.linear(name + ".proj", kTokenWidth, kTokenWidth);
    norm1 = build.layer_norm(name + ".norm1", in);
    norm2 = build.layer_norm(name + ".norm2", kTokenWidth);
    mlp0 = build.linear(name + ".mlp.0", kTokenWidth, kTokenWidth);
    mlp2 = build.linear(name + ".mlp.2", kTokenWidth, kTokenWidth);
    // Python draws a matrix with randn, which orthogonal_ then overwrites.
    build.normal(w, 0, 1);
    build.orthogonal(w, std::sqrt(static_cast<double>(kFeatures)));
  }

  // φ(x) = exp(x·wᵀ − ‖x‖²/2)/√m: [N, T, E] → [N, T, m].
  at::Tensor features(const at::Tensor& x) const {
    const auto half_square = (x * x).sum(-1, /*keepdim=*/true) / 2;
    return (at::matmul(x, w.t()) - half_square).exp_() / std::sqrt(static_cast<double>(kFeatures));
  }

  // y = φ(q)·Σφ(k)vᵀ / (φ(q)·Σφ(k) + 1e-8): [N, T, E] each. In float32 whatever the precision, as in the
  // authors' code: of what is in the exponent even small errors matter.
  at::Tensor attend(const at::Tensor& k, const at::Tensor& q, const at::Tensor& v) const {
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const auto kp = features(k), qp = features(q);
    const auto divisor = at::matmul(qp, kp.sum(1).unsqueeze(2));  // [N, T, 1]
    return at::matmul(qp, at::matmul(kp.transpose(1, 2), v)) / (divisor + 1e-8);
  }
};

struct Block {
  LayerNorm norm1, norm2;
  Linear qkv, proj, fc1, fc2;

  Block(Builder& build, const std::string& name, int64_t width, int64_t hidden)
      : norm1(build.layer_norm(name + ".norm1", width)) {
    qkv = build.linear(name + ".attn.qkv", width, 3 * width, /*bias=*/false);
    proj = build.linear(name + ".attn.proj", width, width);
    norm2 = build.layer_norm(name + ".norm2", width);
    fc1 = build.linear(name + ".mlp.fc1", width, hidden);
    fc2 = build.linear(name + ".mlp.fc2", hidden, width);
  }

  // Softmax attention with scale 64^-½: [N, T, D] → [N, T, D].
  at::Tensor attend(const at::Tensor& x) const {
    const auto n = x.size(0), tokens = x.size(1), width = x.size(2);
    const auto heads = qkv(x).view({n, tokens, 3, width / kHeadWidth, kHeadWidth}).permute({2, 0, 3, 1, 4});
    const auto y = at::scaled_dot_product_attention(heads[0], heads[1], heads[2]);  // [N, heads, T, 64]
    return proj(y.transpose(1, 2).reshape({n, tokens, width}));
  }

  // `drop` is applied to what each half adds.
  template <typename Drop>
  at::Tensor operator()(const at::Tensor& input, Drop drop) const {
    const auto x = input + drop(attend(norm1(input)));
    return x + drop(fc2(at::gelu(fc1(norm2(x)))));
  }
};

// Angles pos/10000^(2⌊j/2⌋/D); their sine for even j, cosine for odd; [1, positions, D]. In float64 and then
// rounded, as the authors' numpy code has it.
at::Tensor sinusoids(int64_t positions, int64_t width) {
  auto table = at::empty({1, positions, width});
  float* out = table.mutable_data_ptr<float>();
  for (int64_t p = 0; p < positions; ++p)
    for (int64_t j = 0; j < width; ++j) {
      const double exponent = 2.0 * static_cast<double>(j / 2) / static_cast<double>(width);
      const double angle = static_cast<double>(p) / std::pow(10000.0, exponent);
      *out++ = static_cast<float>(j % 2 == 0 ? std::sin(angle) : std::cos(angle));
    }
  return table;
}

class T2TViT : public Network {
 public:
  bool begins_with_convolution() const override { return false; }
  T2TViT(const ArchOptions& arch, int depth, int64_t mlp_ratio, const Init& init) : dropout_(arch.dropout) {
    Builder build(init, weights_);
    const int64_t width = arch.width, patches = (kSide / 16) * (kSide / 16);
    cls_token_ = build.tensor("cls_token", {1, 1, width}, /*trained=*/true);
    pos_embed_ = build.tensor("pos_embed", {1, patches + 1, width}, /*trained=*/false);
    performers_.emplace_back(build, "tokens_to_token.attention1", 3 * 7 * 7);
    performers_.emplace_back(build, "tokens_to_token.attention2", kTokenWidth * 3 * 3);
    project_ = build.linear("tokens_to_token.project", kTokenWidth * 3 * 3, width);
    for (int i = 0; i < depth; ++i)
      blocks_.emplace_back(build, "blocks." + std::to_string(i), width, width * mlp_ratio);
    norm_ = build.layer_norm("norm", width);
    head_ = build.linear("head", width, arch.classes);
    if (build.draws()) pos_embed_.copy_(sinusoids(patches + 1, width));
    build.trunc_normal(cls_token_, 0.02);
    for (const auto* linear : linears()) {
      build.trunc_normal(linear->weight, 0.02);
      if (linear->bias.defined()) build.zero(linear->bias);
    }
  }

  // Stages: the tokens [N, D, T, 1] after every sixth block and after the last.
  ForwardResult forward(const at::Tensor& images, bool training, const Want& want) override {
    if (images.size(2) != kSide || images.size(3) != kSide)
      throw Error(ErrorCode::config, "transform.crop: expected " + std::to_string(kSide) +
                                         ", for which the positions of T2T-ViT are made, found " +
                                         std::to_string(images.size(2)) + ".");
    ForwardResult result;
    auto x = tokens(images, training);
    for (size_t i = 0; i < blocks_.size(); ++i) {
      // As timm's: from 0 for the first block to drop_path_ for the last.
      const auto last = static_cast<double>(std::max<size_t>(blocks_.size() - 1, 1));
      const double p = drop_path_ * static_cast<double>(i) / last;
      x = blocks_[i](x, [&](const at::Tensor& added) { return drop_path(added, p, training); });
      const bool is_stage = (i + 1) % 6 == 0 || i + 1 == blocks_.size();
      if (is_stage && result.ends_with(x.transpose(1, 2).unsqueeze(3), want)) return result;
    }
    result.penultimate = norm_(x.select(1, 0));
    result.penultimate = result.penultimate.to(sum_type(result.penultimate));
    result.logits = head_(result.penultimate);
    return result;
  }

  void set_drop_path(double p) override { drop_path_ = p; }

  at::Tensor head(const at::Tensor& feature) const override {
    return head_(feature.dim() == 4 ? norm_(feature.select(3, 0).select(2, 0)) : feature);
  }

  at::Tensor resume(const at::Tensor&) const override {
    throw Error(ErrorCode::config, "T2T-ViT goes on from its last stage alone.");
  }
  // Of the last block's tokens alone, before the last normalisation.
  int rank1_stages() const override { return 1; }
  at::Tensor last_layer_weight() const override { return head_.weight; }
  int penultimate_stage() const override { return 0; }

 private:
  // All linear layers in the order in which nn.Module.apply reaches them.
  std::vector<const Linear*> linears() const {
    std::vector<const Linear*> all;
    for (const auto& p : performers_) all.insert(all.end(), {&p.kqv, &p.proj, &p.mlp0, &p.mlp2});
    all.push_back(&project_);
    for (const auto& b : blocks_) all.insert(all.end(), {&b.qkv, &b.proj, &b.fc1, &b.fc2});
    all.push_back(&head_);
    return all;
  }

  // [N, T, in] → [N, T, 64]. The values take the place of the input in the first sum, since widths differ.
  at::Tensor perform(const Performer& p, const at::Tensor& x, bool training) {
    const auto all = p.kqv(p.norm1(x));
    const auto kqv = all.to(sum_type(all)).split(kTokenWidth, -1);
    const auto y = kqv[2] + dropout(p.proj(p.attend(kqv[0], kqv[1], kqv[2])), dropout_, training);
    return y + dropout(p.mlp2(at::gelu(p.mlp0(p.norm2(y)))), dropout_, training);
  }

  // [N, 3, 224, 224] → 56², then 28², then 14² tokens; with the class token and positions [N, 197, D].
  at::Tensor tokens(const at::Tensor& images, bool training) {
    auto x = perform(performers_[0], soft_split(images, 7, 4, 2), training);
    x = perform(performers_[1], soft_split(fold_back(x), 3, 2, 1), training);
    x = project_(soft_split(fold_back(x), 3, 2, 1));
    const auto first = cls_token_.to(x.scalar_type()).expand({x.size(0), -1, -1});
    return at::cat({first, x}, 1) + pos_embed_;
  }

  double dropout_, drop_path_ = 0;
  at::Tensor cls_token_, pos_embed_;  // [1, 1, D], [1, T, D]
  std::vector<Performer> performers_;
  Linear project_, head_;
  std::vector<Block> blocks_;
  LayerNorm norm_;
};

}  // namespace

std::unique_ptr<Network> make_t2t_vit(const ArchOptions& arch, int depth, int mlp_ratio, const Init& init) {
  return std::make_unique<T2TViT>(arch, depth, mlp_ratio, init);
}

}  // namespace mode_ensemble
