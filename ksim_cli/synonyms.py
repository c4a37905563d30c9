"""Names of terms in legged_gym, Isaac Lab, mjlab and MuJoCo Playground, and ours for the same.

For suggestions only: a config says our names. Standard library only.
"""

from collections.abc import Collection, Mapping

from ksim_cli.errors import nearest

SYNONYMS: Mapping[str, Mapping[str, str]] = {
    "reward": {
        "action_rate": "action_velocity",
        "action_rate_l2": "action_velocity",
        "action_smoothness": "action_acceleration",
        "smoothness": "action_acceleration",
        "alive": "stay_alive",
        "is_alive": "stay_alive",
        "survival": "stay_alive",
        "healthy": "stay_alive",
        "ang_vel_xy": "off_axis_velocity",
        "ang_vel_xy_l2": "off_axis_velocity",
        "lin_vel_z": "off_axis_velocity",
        "lin_vel_z_l2": "off_axis_velocity",
        "base_height_l2": "base_height",
        "collision": "force",
        "undesired_contacts": "force",
        "feet_slide": "feet_slip",
        "feet_clearance_reward": "feet_clearance",
        "foot_clearance": "feet_clearance",
        "foot_slip": "feet_slip",
        "swing_foot_height": "sparse_target_height",
        "foot_swing_height": "sparse_target_height",
        "flat_orientation": "upright",
        "flat_orientation_l2": "upright",
        "orientation": "upright",
        "joint_acc_l2": "joint_acceleration",
        "dof_acc": "joint_acceleration",
        "joint_vel_l2": "joint_velocity",
        "dof_vel": "joint_velocity",
        "joint_deviation_l1": "joint_deviation",
        "joint_pos_limits": "joint_limits",
        "dof_pos_limits": "joint_limits",
        "dof_pos": "joint_position",
        "pose": "joint_deviation",
        "posture": "joint_deviation",
        "joint_torques_l2": "torque",
        "torques": "torque",
        "dof_torques": "torque",
        "stand_still": "motionless_at_rest",
        "track_lin_vel_xy": "linear_velocity",
        "track_lin_vel_xy_exp": "linear_velocity",
        "track_linear_velocity": "linear_velocity",
        "tracking_lin_vel": "linear_velocity",
        "track_ang_vel_z": "angular_velocity",
        "track_ang_vel_z_exp": "angular_velocity",
        "track_angular_velocity": "angular_velocity",
        "tracking_ang_vel": "angular_velocity",
        "power": "energy",
        "gait": "sinusoidal_gait",
    },
    "observation": {
        "base_lin_vel": "base_linear_velocity",
        "linvel": "base_linear_velocity",
        "local_linvel": "base_linear_velocity",
        "base_ang_vel": "base_angular_velocity",
        "gyro": "base_angular_velocity",
        "accelerometer": "base_linear_acceleration",
        "gravity": "projected_gravity",
        "joint_pos": "joint_position",
        "joint_pos_rel": "joint_position",
        "dof_pos": "joint_position",
        "qpos": "joint_position",
        "joint_vel": "joint_velocity",
        "joint_vel_rel": "joint_velocity",
        "dof_vel": "joint_velocity",
        "qvel": "joint_velocity",
        "last_action": "action_position",
        "last_act": "action_position",
        "actions": "action_position",
        "generated_commands": "command",
        "commands": "command",
        "velocity_commands": "command",
        "contact_forces": "feet_force",
        "foot_contact": "feet_contact",
        "base_pos": "base_position",
        "base_quat": "base_orientation",
    },
    "termination": {
        "bad_orientation": "not_upright",
        "fell_over": "not_upright",
        "base_contact": "illegal_contact",
        "root_height_below_minimum": "minimum_height",
        "fall": "minimum_height",
        "time_out": "episode_length",
        "timeout": "episode_length",
        "time_limit": "episode_length",
        "terrain_out_of_bounds": "far_from_origin",
    },
    "reset": {
        "reset_joints_by_offset": "random_joint_position",
        "reset_joints_by_scale": "random_joint_position",
        "reset_root_state_uniform": "plane_xy_position",
        "reset_base": "plane_xy_position",
    },
    "command": {
        "uniform_velocity": "linear_velocity",
        "base_velocity": "linear_velocity",
        "twist": "linear_velocity",
        "lin_vel": "linear_velocity",
        "ang_vel": "angular_velocity",
        "heading": "angular_velocity",
    },
    "event": {
        "push": "linear_push",
        "push_robot": "linear_push",
        "push_robots": "linear_push",
        "push_by_setting_velocity": "linear_push",
        "apply_external_force_torque": "force_push",
    },
    "randomizer": {
        "randomize_rigid_body_mass": "mass_multiplication",
        "add_base_mass": "mass_addition",
        "base_mass": "mass_addition",
        "randomize_rigid_body_material": "floor_friction",
        "friction": "floor_friction",
        "geom_friction": "floor_friction",
        "foot_friction": "floor_friction",
        "base_com": "center_of_mass",
        "body_com_offset": "center_of_mass",
        "com": "center_of_mass",
        "joint_armature": "armature",
        "frictionloss": "static_friction",
        "joint_friction": "static_friction",
        "damping": "joint_damping",
    },
    "actuator": {
        "joint_position_action": "position",
        "joint_effort_action": "torque",
        "effort": "torque",
        "motor": "torque",
        "pd": "position",
    },
    "noise": {
        "gaussian": "additive_gaussian",
        "uniform": "additive_uniform",
    },
}
"""Kind of component, as its registry calls it -> a name elsewhere -> ours."""


def suggestion(kind: str, name: str, names: Collection[str]) -> str:
    """A hint `" Did you mean 'x'?"` with our name for it or the nearest one, or the empty string.

    Args:
        kind: what one entry is called, as `reward`.
        name: what was written.
        names: those that there are.
    """
    ours = SYNONYMS.get(kind, {}).get(name)
    return f" Did you mean '{ours}'?" if ours in names else nearest(name, names)
