"""The clusters that the features run on, behind one interface."""
