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
LEFT = {"joints": ["left_*"]}
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
    "rewards": {"weight": -0.5, "scale": QUADRATIC},
    "terminations": {"disable_at_curriculum_level": 2.0},
    "events": {"scale": "linear", "interval": [0.01, 0.03]},
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
        "base_height": [TRUNK],
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
        "contact": [{"feet": ["left_toe"]}],
        "delayed_joint_position": [{**LEFT, "relative": True, "delay_steps": 2}],
        "delayed_joint_velocity": [{**LEFT, "delay_steps": 0}],
        "feet_contact": [FEET],
        "feet_force": [{**FEET, **OWN_FRAME}, {**FEET, **WORLD_FRAME}],
        "feet_orientation": [{"feet": ["left_foot", "right_toe"]}],
        "feet_position": [{**FEET, **OWN_FRAME}, {**FEET, **WORLD_FRAME}],
        "feet_torque": [{**FEET, **OWN_FRAME}, {**FEET, **WORLD_FRAME}],
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
        "action_acceleration": [{}],
        "action_jerk": [{}],
        "action_velocity": [{}],
        "angular_velocity": [{**TRUNK, "command": "angular", "sigma": 1.0}],
        "base_height": [{**TRUNK, "height": 0.5, "sigma": 0.2}, {"command": "height"}],
        "base_height_range": [{**TRUNK, "low": 0.4, "high": 0.6, "sigma": 0.1}],
        "energy": [LEFT],
        "feet_air_time": [
            {**FEET, "threshold": 0.1, "maximum": 0.4, "commands": ["linear", "angular"]}
        ],
        "feet_clearance": [{**FEET, "height": 0.05}],
        "feet_slip": [FEET],
        "flat_body": [{"bodies": ["*_foot"]}],
        "force": [{**FEET, "threshold": 1.0}],
        "intersection": [{"pairs": [["left_sole", "right_foot"]], "distance": 0.3}],
        "joint_acceleration": [LEFT],
        "joint_deviation": [{**LEFT, "joint_weights": {"*_hip": 2.0}}],
        "joint_jerk": [LEFT],
        "joint_limits": [{**LEFT, "factor": 0.5}],
        "joint_position": [{**LEFT, "command": "joints", "sigma": 1.0}],
        "joint_velocity": [LEFT],
        "linear_velocity": [{**TRUNK, "command": "linear", "sigma": 1.0}],
        "link_acceleration": [{"bodies": ["*_foot"]}],
        "link_jerk": [{"bodies": ["*_foot"]}],
        "motion_base_angular_velocity": [{**MOMENT, **TRUNK, "sigma": 1.0}],
        "motion_base_linear_velocity": [{**MOMENT, **TRUNK, "sigma": 2.0}],
        "motion_base_orientation": [{**MOMENT, **TRUNK, "sigma": 1.0}],
        "motion_base_position": [{**MOMENT, **TRUNK, "sigma": 1.0, "horizontal": False}],
        "motion_body_position": [{**MOMENT, **TRUNK, "sigma": 1.0, "bodies": ["*_foot"]}],
        "motion_joint_position": [{**MOMENT, **LEFT, "sigma": 1.0}],
        "motion_joint_velocity": [{**MOMENT, **LEFT, "sigma": 1.0}],
        "motionless_at_rest": [{**LEFT, "commands": ["linear"], "threshold": 0.5}],
        "no_roll": [TRUNK],
        "off_axis_velocity": [{**TRUNK, "angular_weight": 0.1}],
        "pairwise_symmetry": [{"pairs": [["left_hip", "right_hip"]], "signs": [-1]}],
        "position_tracking": [
            {**TRUNK, "target": "left_sole", "command": "point", "sigma": 0.2},
            {"target": "left_foot", "command": "point", "in_robot_frame": False},
        ],
        "reachability": [
            {**TRUNK, "origin": "left_thigh", "command": "point", "radius": 0.1},
            {"origin": "imu", "command": "point", "radius": 0.1, "in_robot_frame": False},
        ],
        "sinusoidal_gait": [{**FEET, "command": "gait", "ground": 0.02, "sigma": 0.1}],
        "sparse_target_height": [{**TRUNK, "height": 0.5}],
        "stay_alive": [{}],
        "symmetry": [{"pairs": [["left_hip", "right_hip"]], "signs": [-1], "seconds": 0.5}],
        "torque": [LEFT],
        "upright": [TRUNK],
    },
    "terminations": {
        "bad_velocity": [{**TRUNK, "max_linear": 50.0, "max_angular": 500.0}],
        "bad_z": [{**TRUNK, "low": 0.1, "high": 2.0}],
        "episode_length": [{"max_length_seconds": 0.04}],
        "far_from_origin": [{**TRUNK, "max_distance": 5.0}],
        "illegal_contact": [{"feet": ["trunk"], "threshold": 10.0}],
        "minimum_height": [{**TRUNK, "height": 0.1}],
        "motion_base": [{**MOMENT, **TRUNK, "max_distance": 9.0, "max_angle": None}],
        "motion_bodies": [{**MOMENT, **TRUNK, "max_distance": 9.0, "bodies": ["*_foot"]}],
        "motion_end": [MOMENT],
        "motion_joints": [{**MOMENT, **LEFT, "max_error": 9.0}],
        "not_upright": [{**TRUNK, "max_tilt": 3.0}],
    },
    "resets": {
        "base_xy_velocity": [{**TRUNK, "x_range": 0.5, "y_range": 0.2}],
        "height_field_xy_position": [{**TRUNK, "geom": "ground", "margin": 0.5}],
        "motion": [MOMENT],
        "motion_state": [{"path": "motion.npz"}],
        "plane_xy_position": [{**TRUNK, "x_range": 0.5, "y_range": 0.2}],
        "random_heading": [{**TRUNK, "range": 1.0}],
        "random_height": [{**TRUNK, "range": [0.0, 0.1]}],
        "random_joint_position": [{**LEFT, "scale": 0.1, "distribution": "normal"}],
        "random_joint_velocity": [{**LEFT, "scale": 0.1, "distribution": "normal"}],
        "random_pitch_roll": [{**TRUNK, "pitch_range": 0.2, "roll_range": 0.1}],
    },
    "events": {
        "angular_push": [{**TRUNK, "speed": [0.5, 1.0]}],
        "force_push": [{**TRUNK, "force": [1.0, 2.0], "duration": [0.01, 0.02]}],
        "jump": [{**TRUNK, "height": [0.01, 0.02]}],
        "linear_push": [{**TRUNK, "speed": [0.1, 0.2], "vertical": 0.1}],
    },
    "commands": {
        "angular_velocity": [{**DRAWN, **TRUNK, "range": [-1.0, 1.0]}],
        "base_height": [{**DRAWN, **TRUNK, "range": [0.4, 0.5]}],
        "cartesian_coordinate": [
            {**DRAWN, **TRUNK, "x_range": [0.0, 1.0], "y_range": [0.0, 1.0], "z_range": [0.0, 1.0]}
        ],
        "float_vector": [{**DRAWN, "ranges": [[0.0, 1.0], [2.0, 3.0]]}],
        "int_vector": [{**DRAWN, "ranges": [[0, 1], [2, 3]]}],
        "joint_position": [{**DRAWN, **LEFT, "share": 0.5}],
        "linear_velocity": [{**DRAWN, **TRUNK, "x_range": [-1.0, 1.0], "y_range": [-0.5, 0.5]}],
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
        "additive_gaussian": [{"std": 0.1, "scale": "linear"}],
        "additive_uniform": [{"magnitude": 0.1, "scale": "linear"}],
        "multiplicative_gaussian": [{"std": 0.1, "scale": "linear"}],
        "multiplicative_uniform": [{"magnitude": 0.1, "scale": "linear"}],
    },
    "filters": {
        "clip_acceleration": [{"limit": 10.0}],
        "clip_positions": [{"low": -0.5, "high": 0.5}],
        "integrate_acceleration": [{"scale": 2.0, "low": -1.0, "high": 1.0}],
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
        "center_of_mass": [{**TRUNK, "range": 0.01}],
        "collision_bodies": [{"geoms": ["*_toe"], "scale": [0.8, 1.2]}],
        "floor_friction": [{"scale": [0.8, 1.2]}, {"scale": [0.8, 1.2], "geoms": ["floor"]}],
        "imu_alignment": [{"site": "imu", "max_angle": 0.1, "max_offset": 0.01}],
        "joint_damping": [{**LEFT, "scale": [0.8, 1.2]}],
        "mass_addition": [{**TRUNK, "range": [-0.1, 0.1]}],
        "mass_multiplication": [{**TRUNK, "scale": [0.8, 1.2]}],
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
