"""The model API, measured: beside a bare pass-through and against stubs of model servers."""
