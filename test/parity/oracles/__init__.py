"""The seven detectors by their definitions, as plainly as they can be written: what the fixtures of test/fixtures/detectors
hold. Nothing is shared between detectors but the pass through the network, nothing is stored, and no closed form is used
where a definition speaks of a gradient or of a singular value.

Networks are those of torch_networks, in evaluation mode, without gradients of their weights; one function takes a list of
them: one network is a mode, several are an ensemble. They compute in the type of their weights; what is fitted and what is
compared is float64. Scores are larger for in-distribution images.

Sources: Fang, Tao, Huang, Yang, IJCV 2024, doi 10.1007/s11263-024-02156-x, for how modes are fused; each detector's own paper
for the rest (named in its file)."""
