"""JDA: components along which the domains agree, class by class, with pseudo labels for the target.

Long, Wang, Ding, Sun, Yu: Transfer Feature Learning with Joint Distribution Adaptation, ICCV 2013, equations 8-10 and
algorithm 1.
"""

from __future__ import annotations

from headstart.shift._pseudo import ClassByClass


class JDA(ClassByClass):
    """Leading components of ``X H X' A = (X (M_0 + sum M_c) X' + mu I) A values`` with ``A' X H X' A = I``.

    M_0 = e e' compares the means of the domains, M_c those of class c, where target rows have the class that a
    classifier, fitted on the projected source, gives them; the two steps alternate. Needs source labels.

    Args:
        num_components: columns of A.
        kernel: "primal" as in the equation; "linear" and "rbf" put K for X and weights on rows, see ``TCA``.
        regularisation: mu (lambda in the paper).
        num_rounds: at most; it stops where no label changes.
        classifier: of pseudo labels; None: the nearest neighbour, as in the paper.
        gamma: of the RBF kernel, which is approximated on 1,000 landmarks beyond 4,000 rows.
        seed: of the landmarks.
        whiten: whether the components are scaled as the constraint says, so that all vary alike; else each has length
            1 and the leading ones weigh more, as in the authors' Matlab code: better before the nearest neighbour.

    Attributes:
        components_, eigenvalues_: as in ``TCA``.
        classes_: (num_classes,) sorted labels.
        target_labels_: (num_target,) the last pseudo labels.
    """
