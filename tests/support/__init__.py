# SPDX-License-Identifier: MIT
"""What several suites share; tests/ is on PYTHONPATH when ctest runs them."""
