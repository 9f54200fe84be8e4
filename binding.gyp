{
  # `npx node-gyp rebuild` runs the same set-up as `npm run setup` and puts the addon at the same place, build-native/.
  # The output named here is never written, so that make asks set-up each time; set-up knows whether anything changed.
  "targets": [
    {
      "target_name": "mode_ensemble",
      "type": "none",
      "actions": [
        {
          "action_name": "setup",
          "inputs": [],
          "outputs": ["<(PRODUCT_DIR)/always"],
          "action": ["node", "<(module_root_dir)/scripts/setup.mjs", "--native-only"]
        }
      ]
    }
  ]
}
