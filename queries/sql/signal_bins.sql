-- The fixed bins of the drift signals.
SELECT signal, bin, lower, upper, label, unit
FROM signal_bins
ORDER BY signal, bin
