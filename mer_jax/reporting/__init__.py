"""What is written about results: the report, charts, previews of clips, and tables of several runs.

from mer_jax.reporting import comparison, report

report.write("report.html", config=..., summary=..., predictions=..., provenance=...)
print(comparison.markdown(comparison.cells(comparison.compare(runs))))
"""
