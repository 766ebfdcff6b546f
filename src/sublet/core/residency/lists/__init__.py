"""The dated lists that rules read: countries, blocs, laws, kinds of data, accelerators. Each names its source and its day."""
