"""Differential tests of the operators against ONNX Runtime: cases as data, random graphs, shrinking."""
