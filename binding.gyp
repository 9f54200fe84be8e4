{
  # `npx node-gyp rebuild` runs the same set-up as `npm run setup` and puts the addon at the same place, build-native/.
  # The output named here is never written: what is up to date is for set-up to judge, not for make.
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
