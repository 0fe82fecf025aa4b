"""`make day`: a day of a farm of a hundred workers, as fast as it goes, to see that nothing grows for ever."""
