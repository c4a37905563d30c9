"""Sections of every registered term, so that each parameter is given something else than it is.

They fit the legged robot on a floor of hills: `SCENE`.
"""

from tests.legged import LEGGED

SCENE = LEGGED.replace(
    "<worldbody>",
    """<asset><hfield name="hills" nrow="3" ncol="3" size="2 2 0.01 0.1"
         elevation="0 0 0  0 0.5 1  0 0.5 1"/></asset><worldbody>
       <geom name="ground" type="hfield" hfield="hills" contype="1"/>""",
)
STRAPPED = LEGGED.replace(
    "</mujoco>",
    """<tendon><fixed name="strap"><joint joint="left_hip" coef="0.1"/></fixed></tendon>
       <actuator><position name="strap" tendon="strap" kp="2" ctrlrange="-1 1"/></actuator></mujoco>""",
)
"""The legged robot with an actuator of its own, which drives no joint."""

NOISE = {"type": "additive_gaussian", "std": 0.01}
QUADRATIC = {"type": "quadratic", "at_zero": 0.5}
FEET = {"feet": ["left_foot", "right_foot"]}
FLOOR = {"against": ["floor", "ground"]}
MOVING = {"commands": ["linear", "angular"]}
GATED = {**FEET, **FLOOR, **MOVING}
LEFT = {"joints": ["left_*"]}
L1 = {"norm": "l1"}
LESS = {"by_level": "linear"}
TAILS = {"sq_scale": 0.1, "abs_scale": 0.1}
TRUNK = {"body": "trunk"}
MOMENT = {"command": "moment"}
OWN_FRAME = {**TRUNK, "in_robot_frame": True}
WORLD_FRAME = {"body": "left_shank", "in_robot_frame": False}
NOISY = {
    "groups": ["actor"],
    "noise": [NOISE, {"type": "multiplicative_uniform", "magnitude": 0.1}],
    "bias": NOISE,
    "delay": [0.01, 0.02],
    "history": 2,
}
ALSO = {
    "observations": {"history": 2},
    "rewards": {
        **{"weight": -0.5, "scale": QUADRATIC},
        "stages": ({"iteration": 1, "weight": -1.0},),
    },
    "terminations": {
        "disable_at_curriculum_level": 2.0,
        "stages": ({"iteration": 1, "disable_at_curriculum_level": 0.5},),
    },
    "events": {
        **{"scale": "linear", "interval": [0.01, 0.03]},
        "stages": ({"iteration": 1, "interval": [0.01, 0.02]},),
    },
    "randomization": {"mode": "reset"},
}
"""Kind -> parameters that all terms of the kind have."""
DRAWN = {"switch_seconds": 0.02, "zero_probability": 0.2, "scale": "linear"}
PD = {
    "kp": {"*_hip": 20.0, "*_knee": 10.0},
    "kd": 1.0,
    "limit": {"*_hip": 8.0},
    "scale": {"left_hip": 0.5},
    "relative": False,
    "action_noise": NOISE,
    "action_bias": NOISE,
    "torque_noise": [NOISE, NOISE],
    "torque_bias": NOISE,
    "kp_bias": {"type": "multiplicative_gaussian", "std": 0.1},
    "kd_bias": {"type": "multiplicative_uniform", "magnitude": 0.1},
    "joints": ["*_hip", "*_knee"],
    "filters": [
        {"type": "clip_positions", "high": 0.5},
        {"type": "low_pass", "cutoff_frequency": 5},
    ],
}
RISING = {"step_size": 0.2, "min_level": 0.1, "max_level": 0.9, "min_level_steps": 2}
COMMANDS = {
    "height": {"type": "base_height", "range": [0.4, 0.5]},
    "linear": {"type": "linear_velocity", "x_range": [-1.0, 1.0]},
    "linear_velocity": {"type": "linear_velocity", "x_range": [0.0, 0.0]},
    "angular": {"type": "angular_velocity", "range": [-1.0, 1.0]},
    "tilt": {"type": "float_vector", "ranges": [[-0.1, 0.1], [-0.1, 0.1]]},
    "roll_pitch": {"type": "float_vector", "ranges": [[0.0, 0.0], [0.0, 0.0]]},
    "angular_velocity": {"type": "angular_velocity", "range": [0.0, 0.0]},
    "point": {
        "type": "cartesian_coordinate",
        "x_range": [0.0, 0.2],
        "y_range": [-0.1, 0.1],
        "z_range": [-0.5, -0.3],
    },
    "joints": {"type": "joint_position", "joints": ["left_*"]},
    "joint_position": {"type": "joint_position"},
    "sinusoidal_gait": {"type": "sinusoidal_gait", "period": 0.2, "max_height": 0.1},
    "gait": {"type": "sinusoidal_gait", "period": 0.3, "max_height": 0.1},
    "moment": {"type": "motion"},
}
"""What the rewards and observations below read."""

SECTIONS = {
    "observations": {
        "action_position": [{}],
        "actuator_acceleration": [LEFT],
        "actuator_force": [LEFT],
        "base_angular_acceleration": [OWN_FRAME, WORLD_FRAME],
        "base_angular_velocity": [OWN_FRAME, WORLD_FRAME],
        "base_height": [{**TRUNK, "above": ["*_foot"]}],
        "base_linear_acceleration": [OWN_FRAME, WORLD_FRAME],
        "base_linear_velocity": [OWN_FRAME, WORLD_FRAME],
        "base_orientation": [TRUNK],
        "base_position": [TRUNK],
        "body_orientation": [{"bodies": ["*_foot"]}],
        "body_position": [{"bodies": ["*_foot"]}],
        "body_velocity": [{"bodies": ["*_foot"]}],
        "center_of_mass_inertia": [{}],
        "center_of_mass_velocity": [{}],
        "command": [{"command": "linear"}],
        "contact": [{"feet": ["left_toe"], "against": ["floor"]}],
        "delayed_joint_position": [{**LEFT, "relative": True, "delay_steps": 2}],
        "delayed_joint_velocity": [{**LEFT, "delay_steps": 0}],
        "feet_air_time": [{**FEET, **FLOOR}],
        "feet_contact": [{**FEET, **FLOOR}],
        "feet_height": [{**FEET, "ground": 0.02}],
        "feet_force": [{**FEET, **OWN_FRAME}, {**FEET, **WORLD_FRAME, **FLOOR}],
        "feet_orientation": [{"feet": ["left_foot", "right_toe"]}],
        "feet_position": [{**FEET, **OWN_FRAME}, {**FEET, **WORLD_FRAME}],
        "feet_torque": [{**FEET, **OWN_FRAME}, {**FEET, **WORLD_FRAME, **FLOOR}],
        "gait_phase": [{"period": 0.2, "offsets": [0.25, 0.75]}],
        "joint_angle_cos_sin": [LEFT],
        "joint_position": [{**LEFT, "relative": True}],
        "joint_velocity": [LEFT],
        "motion_base_orientation": [{**MOMENT, **TRUNK}],
        "motion_base_position": [{**MOMENT, **TRUNK, "horizontal": True}],
        "motion_joint_position": [{**MOMENT, **LEFT, "ahead": [0, 5], "relative": False}],
        "motion_joint_velocity": [{**MOMENT, **LEFT, "ahead": [1]}],
        "motion_phase": [MOMENT],
        "projected_gravity": [
            {**TRUNK, "lag": [0.1, 0.5], "tilt": 0.1},
            {"site": "left_sole", "lag": 0.5},
        ],
        "sensor": [{"sensors": ["gyro"]}],
        "site_orientation": [{"sites": ["imu", "left_sole"]}],
        "timestep": [NOISY],
    },
    "rewards": {
        "action_acceleration": [L1],
        "action_jerk": [L1],
        "action_magnitude": [L1],
        "action_reach": [
            {
                **{"joints": ["*_hip", "*_knee"], "max_velocity": 5.0, "max_acceleration": 9.0},
                **{"scale_of_action": 0.5, "relative": False, "norm": "l1"},
            }
        ],
        "action_velocity": [L1],
        "angular_velocity": [{**TRUNK, **TAILS, "command": "angular", "sigma": 1.0}],
        "base_height": [
            {**TRUNK, **TAILS, "height": 0.5, "sigma": 0.2, "above": ["*_sole"]},
            {"command": "height"},
        ],
        "base_height_range": [
            {**TRUNK, "low": 0.4, "high": 0.6, "sigma": 0.1, "above": ["*_foot"]}
        ],
        "center_of_mass": [{**TRUNK, **FEET, **TAILS, "sigma": 0.2}],
        "contact": [{"feet": ["*_foot"], **FLOOR, "threshold": 1.0}, {"feet": ["trunk"]}],
        "energy": [{**LEFT, "joint_weights": {"*_hip": 2.0}, "positive_only": True}],
        "feet_air_time": [
            {**FEET, **FLOOR, "threshold": 0.1, "maximum": 0.4, "commands": ["linear", "angular"]}
        ],
        "feet_clearance": [{**FEET, **MOVING, "height": 0.05, "ground": 0.02}],
        "feet_orientation": [{**FEET, **TRUNK, **TAILS, "sigma": 1.0}],
        "feet_peak_height": [{**GATED, "height": 0.05, "ground": 0.02}],
        "feet_slip": [GATED],
        "feet_swing_height": [{**GATED, "height": 0.05, "ground": 0.02}],
        "flat_body": [{"bodies": ["*_foot"], "plane": [0.0, 1.0, 0.0]}],
        "force": [{**FEET, **FLOOR, "threshold": 1.0}],
        "intersection": [{"pairs": [["left_sole", "right_foot"]], "distance": 0.3}],
        "is_terminated": [{}],
        "joint_acceleration": [{**LEFT, **L1}],
        "joint_deviation": [{**LEFT, **L1, "joint_weights": {"*_hip": 2.0}}],
        "joint_jerk": [{**LEFT, **L1}],
        "joint_limits": [{**LEFT, "factor": 0.5}],
        "joint_position": [{**LEFT, **TAILS, "command": "joints", "sigma": 1.0}],
        "joint_velocity": [{**LEFT, **L1}],
        "joint_velocity_limits": [{**LEFT, "limit": {"*_hip": 1.0}}],
        "linear_velocity": [
            {
                **{**TRUNK, **TAILS, "command": "linear", "sigma": 1.0},
                **{"component": "direction", "zero_threshold": 0.1},
            },
            {"component": "speed"},
            {"component": "y"},
        ],
        "link_acceleration": [{"bodies": ["*_foot"], **L1}],
        "link_jerk": [{"bodies": ["*_foot"], **L1}],
        "motion_base_angular_velocity": [{**MOMENT, **TRUNK, **TAILS, "sigma": 1.0}],
        "motion_base_linear_velocity": [{**MOMENT, **TRUNK, **TAILS, "sigma": 2.0}],
        "motion_base_orientation": [{**MOMENT, **TRUNK, **TAILS, "sigma": 1.0}],
        "motion_base_position": [{**MOMENT, **TRUNK, **TAILS, "sigma": 1.0, "horizontal": False}],
        "motion_body_position": [{**MOMENT, **TRUNK, **TAILS, "sigma": 1.0, "bodies": ["*_foot"]}],
        "motion_joint_position": [{**MOMENT, **LEFT, **TAILS, "sigma": 1.0}],
        "motion_joint_velocity": [{**MOMENT, **LEFT, **TAILS, "sigma": 1.0}],
        "motionless_at_rest": [{**LEFT, "commands": ["linear"], "threshold": 0.5}],
        "no_contact": [GATED],
        "no_roll": [TRUNK],
        "off_axis_velocity": [{**TRUNK, "angular_weight": 0.1, "linear_weight": 0.0}],
        "pairwise_symmetry": [{"pairs": [["left_hip", "right_hip"]], "signs": [-1]}],
        "position_tracking": [
            {**TRUNK, **TAILS, **L1, "target": "left_sole", "command": "point", "sigma": 0.2},
            {"target": "left_foot", "command": "point", "in_robot_frame": False},
        ],
        "posture": [
            {
                **{**LEFT, "std": 0.1, "std_walking": {"*_hip": 0.5}, "std_running": 1.0},
                **{"commands": ["linear"], "walking_threshold": 0.1, "running_threshold": 0.5},
            }
        ],
        "reachability": [
            {**TRUNK, "origin": "left_thigh", "command": "point", "radius": 0.1},
            {"origin": "imu", "command": "point", "radius": 0.1, "in_robot_frame": False},
        ],
        "roll_pitch": [{**TRUNK, **TAILS, "command": "tilt", "sigma": 1.0}],
        "single_foot_contact": [{**GATED, "grace_period": 0.01}],
        "sinusoidal_gait": [{**FEET, "command": "gait", "ground": 0.02, "sigma": 0.1}],
        "soft_landing": [GATED],
        "sparse_target_height": [{**TRUNK, "height": 0.5}],
        "stand_still": [
            {
                **{**LEFT, "norm": "l2", "joint_weights": {"*_hip": 2.0}},
                **{"commands": ["linear"], "threshold": 0.5},
            }
        ],
        "stay_alive": [{"balance": 10.0, "success_reward": 1.0}],
        "symmetry": [{"pairs": [["left_hip", "right_hip"]], "signs": [-1], "seconds": 0.5}],
        "torque": [{**LEFT, **L1, "joint_weights": {"*_hip": 2.0}}],
        "torque_limits": [{**LEFT, "limit": 0.1}],
        "upright": [TRUNK],
    },
    "terminations": {
        "bad_velocity": [{**TRUNK, "max_linear": 50.0, "max_angular": 500.0}],
        "bad_z": [
            {
                **{**TRUNK, "low": 0.1, "high": 2.0, "above": ["*_foot"]},
                **{"low_final": 0.2, "high_final": 1.5},
            }
        ],
        "episode_length": [{"max_length_seconds": 0.04}],
        "far_from_origin": [{**TRUNK, "max_distance": 5.0, "pos_termination": True}],
        "illegal_contact": [{"feet": ["trunk"], **FLOOR, "threshold": 10.0}],
        "minimum_height": [{**TRUNK, "height": 0.1, "above": ["*_foot"]}],
        "motion_base": [{**MOMENT, **TRUNK, "max_distance": 9.0, "max_angle": None}],
        "motion_bodies": [{**MOMENT, **TRUNK, "max_distance": 9.0, "bodies": ["*_foot"]}],
        "motion_end": [MOMENT],
        "motion_joints": [{**MOMENT, **LEFT, "max_error": 9.0}],
        "not_upright": [{**TRUNK, "max_tilt": 3.0}],
    },
    "resets": {
        "base_xy_velocity": [{**TRUNK, **LESS, "x_range": 0.5, "y_range": 0.2}],
        "height_field_xy_position": [{**TRUNK, "geom": "ground", "margin": 0.5}],
        "motion": [MOMENT],
        "motion_state": [{"path": "motion.npz"}],
        "plane_xy_position": [{**TRUNK, **LESS, "x_range": 0.5, "y_range": 0.2}],
        "random_heading": [{**TRUNK, **LESS, "range": 1.0}],
        "random_height": [{**TRUNK, **LESS, "range": [0.0, 0.1]}],
        "random_joint_position": [{**LEFT, **LESS, "scale": 0.1, "distribution": "normal"}],
        "random_joint_velocity": [{**LEFT, **LESS, "scale": 0.1, "distribution": "normal"}],
        "random_pitch_roll": [{**TRUNK, **LESS, "pitch_range": 0.2, "roll_range": 0.1}],
    },
    "events": {
        "angular_push": [{**TRUNK, "speed": [0.5, 1.0]}],
        "force_push": [
            {
                **{**TRUNK, "force": [1.0, 2.0], "duration": [0.01, 0.02]},
                **{"vertical": 1.0, "torque": [0.1, 0.2]},
            }
        ],
        "jump": [{**TRUNK, "height": [0.01, 0.02]}],
        "linear_push": [{**TRUNK, "speed": [0.1, 0.2], "vertical": 0.1}],
    },
    "commands": {
        "angular_velocity": [{**DRAWN, **TRUNK, "range": [-1.0, 1.0], "acceleration": 0.5}],
        "base_height": [{**DRAWN, **TRUNK, "range": [0.4, 0.5]}],
        "cartesian_coordinate": [
            {**DRAWN, **TRUNK, "x_range": [0.0, 1.0], "y_range": [0.0, 1.0], "z_range": [0.0, 1.0]}
        ],
        "float_vector": [
            {
                **{**DRAWN, "ranges": [[0.0, 1.0], [2.0, 3.0]]},
                "stages": [{"iteration": 1, "ranges": [[0.0, 2.0], [2.0, 4.0]]}],
            }
        ],
        "heading": [
            {
                **{**DRAWN, **TRUNK, "range": [-1.0, 1.0], "heading_range": [0.0, 1.0]},
                **{"stiffness": 1.0, "heading_probability": 0.5},
            }
        ],
        "int_vector": [{**DRAWN, "ranges": [[0, 1], [2, 3]]}],
        "joint_position": [{**DRAWN, **LEFT, "share": 0.5}],
        "linear_velocity": [
            {
                **{**DRAWN, **TRUNK, "x_range": [-1.0, 1.0], "y_range": [-0.5, 0.5]},
                "acceleration": 0.5,
            }
        ],
        "motion": [
            {
                **TRUNK,
                "start": "beginning",
                "adaptive": False,
                "bin_seconds": 0.1,
                "uniform_share": 0.5,
                "spread": 2,
                "discount": 0.5,
                "decay": 0.5,
            }
        ],
        "sinusoidal_gait": [
            {
                "period": 0.2,
                "max_height": 0.1,
                "offsets": [0.25, 0.75],
                "stance_ratio": 0.6,
                "height_offset": 0.01,
                "standing_command": "linear_velocity",
            }
        ],
        "start_position": [TRUNK],
        "start_quaternion": [TRUNK],
    },
    "actuators": {
        "ctrl": [{"actuators": ["strap"], "filters": "clip_positions"}],
        "position": [PD, {"kp": 20.0, "kd": 1.0}],
        "position_velocity": [{**PD, "velocity_scale": {"*_knee": 0.5}}, {"kp": 9.0, "kd": 1.0}],
        "scaled_torque": [
            {**LEFT, "filters": "tanh_positions", "input_range": [-0.5, 0.5], "gear_ratio": 3.0},
            {"input_range": {"*_hip": [-0.5, 1.0]}, "gear_ratio": {"*_hip": 3.0}},
        ],
        "torque": [
            {**LEFT, "limit": 5.0, "filters": "clip_positions"},
            {"limit": {"*_hip": 5.0}},
        ],
    },
    "noise": {
        "additive_gaussian": [{"std": 0.1, "mean": 0.1, "scale": "linear"}],
        "additive_uniform": [{"magnitude": 0.1, "mean": 0.1, "scale": "linear"}],
        "multiplicative_gaussian": [{"std": 0.1, "mean": 0.1, "scale": "linear"}],
        "multiplicative_uniform": [{"magnitude": 0.1, "mean": 0.1, "scale": "linear"}],
    },
    "filters": {
        "clip_acceleration": [{"limit": {"*": 10.0}}],
        "clip_positions": [{"low": {"*": -0.5}, "high": {"*": 0.5}}],
        "integrate_acceleration": [{"scale": 2.0, "low": {"*": -1.0}, "high": {"*": 1.0}}],
        "integrate_velocity": [{"scale": 2.0, "low": -1.0, "high": 1.0}],
        "low_pass": [{"cutoff_frequency": 5.0}],
        "tanh_positions": [{"low": -0.5, "high": 0.5}],
    },
    "scales": {
        "constant": [{"value": 0.5}],
        "linear": [{"at_zero": 0.5, "at_one": 2.0}],
        "non_zero": [{"at_zero": 0.5, "at_one": 2.0}],
        "quadratic": [{"at_zero": 0.5, "at_one": 2.0}],
        "square_root": [{"at_zero": 0.5, "at_one": 2.0}],
    },
    "curriculum": {
        "constant": [{"level": 0.5}],
        "distance_from_origin": [{**RISING, "increase_threshold": 1.0, "decrease_threshold": 0.5}],
        "episode_length": [{**RISING, "increase_threshold": 10.0, "decrease_threshold": 5.0}],
        "linear": [RISING],
        "step_when_saturated": [{**RISING, "increase_threshold": 0.2, "decrease_threshold": 0.4}],
    },
    "randomization": {
        "all_bodies_mass_multiplication": [{"scale": [0.8, 1.2]}],
        "all_centers_of_mass": [{"range": 0.01}],
        "all_inertias": [{"scale": [0.8, 1.2]}],
        "armature": [{**LEFT, "scale": [0.8, 1.2]}],
        "center_of_mass": [{**TRUNK, "range": [0.01, 0.02, 0.0]}],
        "collision_bodies": [{"geoms": ["*_toe"], "scale": [0.8, 1.2], "max_offset": 0.001}],
        "floor_friction": [{"scale": [0.8, 1.2]}, {"scale": [0.8, 1.2], "geoms": ["floor"]}],
        "imu_alignment": [{"site": "imu", "max_angle": 0.1, "max_offset": 0.01}],
        "joint_damping": [{**LEFT, "scale": [0.8, 1.2]}],
        "mass_addition": [{**TRUNK, "range": [-0.1, 0.1]}],
        "mass_multiplication": [{**TRUNK, "scale": [0.8, 1.2]}],
        "pd_gains": [{**LEFT, "kp": [0.8, 1.2], "kd": [0.8, 1.2]}],
        "static_friction": [{**LEFT, "scale": [0.8, 1.2]}],
    },
}
"""Kind -> name -> sections, which together give each parameter a value that is not its default."""


def sections_of(kind, changes=None):
    """Name of an instance -> its whole section, of every term of a kind."""
    return {
        f"{name}_{i}": {"type": name, **ALSO.get(kind, {}), **section, **(changes or {})}
        for name, sections in SECTIONS[kind].items()
        for i, section in enumerate(sections)
    }
